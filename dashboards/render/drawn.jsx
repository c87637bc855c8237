// The panels that Grafana does not publish as components: state timeline and heatmap. Drawn here in their manner, with
// the texts and colours that Grafana's own field configuration gives.
import React from 'react';
import { dateTimeFormat, getFieldDisplayName } from '@grafana/data';

const AXIS = 26;

function TimeAxis({ left, width, top, range, theme }) {
  const [from, to] = range;
  const count = Math.max(2, Math.min(5, Math.floor(width / 80)));
  const marks = [...Array(count).keys()].map((place) => from + ((place + 0.5) / count) * (to - from));
  return marks.map((at) => (
    <text key={at} x={left + ((at - from) / (to - from)) * width} y={top + 16} textAnchor="middle" fontSize="12" fill={theme.colors.text.primary}>
      {dateTimeFormat(at, { format: 'HH:mm:ss', timeZone: 'utc' })}
    </text>
  ));
}

function segmentsOf(field, times, to) {
  const segments = [];
  field.values.forEach((value, place) => {
    const last = segments.at(-1);
    if (last && last.value === value) return;
    if (last) last.to = times[place];
    segments.push({ from: times[place], to, value });
  });
  return segments.filter((segment) => segment.value !== null && segment.value !== undefined);
}

export function StateTimeline({ frames, width, height, range, theme }) {
  const [from, to] = range;
  const names = frames.map((frame) => getFieldDisplayName(frame.fields[1], frame, frames));
  const left = Math.min(width * 0.42, 12 + 6.7 * Math.max(...names.map((name) => name.length), 4));
  const plot = width - left - 10;
  const row = (height - AXIS) / Math.max(frames.length, 1);
  const at = (time) => left + ((time - from) / (to - from)) * plot;
  return (
    <svg width={width} height={height} fontFamily="Inter">
      {frames.map((frame, line) => {
        const [times, field] = [frame.fields[0].values, frame.fields[1]];
        return (
          <g key={names[line]}>
            <text x={left - 8} y={row * (line + 0.5) + 4} textAnchor="end" fontSize="12" fill={theme.colors.text.primary}>
              {names[line]}
            </text>
            {segmentsOf(field, times, to).map((segment) => {
              const shown = field.display(segment.value);
              const [x, w] = [at(segment.from), Math.max(1, at(segment.to) - at(segment.from))];
              return (
                <g key={segment.from}>
                  <rect x={x} y={row * line + row * 0.1} width={w} height={row * 0.8} fill={shown.color} fillOpacity="0.75" />
                  {w > 7.5 * shown.text.length + 8 && row > 14 && (
                    <text x={x + 5} y={row * (line + 0.5) + 4} fontSize="12" fill={theme.colors.getContrastText(shown.color)}>
                      {shown.text}
                    </text>
                  )}
                </g>
              );
            })}
          </g>
        );
      })}
      <TimeAxis left={left} width={plot} top={height - AXIS} range={range} theme={theme} />
    </svg>
  );
}

// Google's Turbo map by the polynomial that its author published.
function turbo(t) {
  const channel = (...c) => Math.round(255 * Math.min(1, Math.max(0, c.reduceRight((sum, factor) => sum * t + factor, 0))));
  const r = channel(0.1357, 4.5974, -42.3277, 130.5887, -150.5666, 58.1375);
  const g = channel(0.0914, 2.1856, 4.8052, -14.0195, 4.2109, 2.7747);
  const b = channel(0.1067, 12.5925, -60.1097, 109.0745, -88.5066, 26.8183);
  return `rgb(${r},${g},${b})`;
}

// Cumulative buckets in, counts of each bucket out.
function cellsOf(frames) {
  const bound = (frame) => Number(frame.fields[1].labels.le.replace('+Inf', 'Infinity'));
  const sorted = [...frames].sort((one, other) => bound(one) - bound(other));
  const below = new Map();
  return sorted.map((frame) => {
    const counts = frame.fields[0].values.map((time, place) => {
      const value = frame.fields[1].values[place] ?? 0;
      const own = Math.max(0, value - (below.get(time) ?? 0));
      below.set(time, Math.max(value, below.get(time) ?? 0));
      return [time, own];
    });
    return { bound: bound(frame), counts };
  });
}

export function Heatmap({ frames, width, height, range, theme, step, format }) {
  const rows = cellsOf(frames);
  const used = rows.map((row) => row.counts.some(([, count]) => count > 1e-6));
  const [first, last] = [Math.max(0, used.indexOf(true) - 1), Math.min(rows.length - 1, used.lastIndexOf(true) + 1)];
  const shown = rows.slice(first, last + 1);
  const [from, to] = range;
  const left = 62;
  const plot = width - left - 10;
  const cell = (height - AXIS - 4) / Math.max(shown.length, 1);
  const bucket = step * 1000 * Math.ceil(((to - from) / (step * 1000)) / 90);
  const most = Math.max(1e-9, ...shown.flatMap((row) => row.counts.map(([, count]) => count)));
  return (
    <svg width={width} height={height} fontFamily="Inter">
      {shown.map((row, place) => {
        const y = height - AXIS - cell * (place + 1);
        return (
          <g key={row.bound}>
            {place % Math.ceil(16 / cell) === 0 && (
              <text x={left - 8} y={y + cell / 2 + 4} textAnchor="end" fontSize="12" fill={theme.colors.text.primary}>
                {row.bound === Infinity ? '+Inf' : format(row.bound)}
              </text>
            )}
            {row.counts
              .filter(([time, count]) => count > 1e-6 && (time - from) % bucket < step * 1000)
              .map(([time, count]) => (
                <rect key={time} x={left + ((time - from) / (to - from)) * plot} y={y} height={Math.max(1, cell - 1)}
                  width={Math.max(1, (bucket / (to - from)) * plot - 1)} fill={turbo(Math.sqrt(count / most))} />
              ))}
          </g>
        );
      })}
      <TimeAxis left={left} width={plot} top={height - AXIS} range={range} theme={theme} />
    </svg>
  );
}
