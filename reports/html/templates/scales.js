// From values to places on an axis, and where its ticks stand.

const LOG_FROM = 8; // largest over smallest, from which an axis of costs is logarithmic

function linear([low, high], [start, end], around = 0.06) {
  const room = (high - low || Math.abs(high) || 1) * around;
  const first = low - room, last = high + room;
  return {at: value => start + ((value - first) / (last - first)) * (end - start), ticks: count => even(first, last, count)};
}

function logarithmic([low, high], [start, end], around = 0.06) {
  const first = Math.log10(low), last = Math.log10(high), room = (last - first || 1) * around;
  const at = value => start + ((Math.log10(value) - first + room) / (last - first + 2 * room)) * (end - start);
  return {at, ticks: count => thinned(decades(10 ** (first - room), 10 ** (last + room)), count)};
}

function even(first, last, count) {
  const rough = (last - first) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(first / step - 1e-9); n * step <= last + step * 1e-9; n += 1) ticks.push(Number((n * step).toPrecision(9)));
  return ticks;
}

function decades(first, last) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(first)); power <= Math.log10(last); power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = Number((digit * 10 ** power).toPrecision(3));
      if (tick >= first && tick <= last) ticks.push(tick);
    }
  }
  return ticks;
}

function thinned(ticks, count) {
  const step = Math.ceil(ticks.length / count);
  return ticks.filter((_, place) => place % step === 0);
}

function extent(values) {
  return [Math.min(...values), Math.max(...values)];
}
