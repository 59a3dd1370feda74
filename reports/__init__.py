"""Results to leaderboard: statistics, figures and pages.  Knows neither launchers nor training."""
