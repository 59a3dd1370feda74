"""``leaderboard.html``: the leaderboard as one file that needs nothing else, for people who look closer.

    text = page(build(entries, header), parts, Path("results/fashion-tour"), thumbnails)

Text, style, scripts and numbers are inside; nothing is fetched, and the page's own Content-Security-Policy forbids it.
Everything from outside is escaped: in HTML here, in the browser by ``textContent``.  The scripts are in ``templates/``,
small and without libraries.
"""

from reports.html.page import page
from reports.html.thumbnails import Thumbnails, no_thumbnails

__all__ = ["Thumbnails", "no_thumbnails", "page"]
