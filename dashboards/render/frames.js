// Prometheus's answers as Grafana's data frames, as its Prometheus data source makes them.
import { FieldType, toDataFrame } from '@grafana/data';

const legendOf = (format, labels) =>
  !format || format === '__auto' ? undefined : format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name) => labels[name] ?? '').trim();

function tableFrame(query) {
  const series = query.result;
  const names = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].filter((name) => name !== '__name__');
  const valueName = query.only ? 'Value' : `Value #${query.ref}`;
  return toDataFrame({
    refId: query.ref,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map((one) => one.value[0] * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: series.map((one) => one.metric[name] ?? '') })),
      { name: valueName, type: FieldType.number, values: series.map((one) => Number(one.value[1])) },
    ],
  });
}

function seriesFrame(query, one, step) {
  const given = one.values ?? [one.value];
  const times = [];
  const values = [];
  for (const [at, value] of given) {
    const last = times.at(-1);
    if (last !== undefined && at * 1000 - last > 1.5 * step * 1000) {
      times.push(last + step * 1000); // a gap is a gap: nothing is drawn over it
      values.push(null);
    }
    times.push(at * 1000);
    values.push(value === 'NaN' ? null : Number(value));
  }
  return toDataFrame({
    refId: query.ref,
    fields: [
      { name: 'Time', type: FieldType.time, values: times },
      {
        name: 'Value',
        type: FieldType.number,
        labels: one.metric,
        values,
        config: { displayNameFromDS: legendOf(query.legend, one.metric) },
      },
    ],
  });
}

export function framesOf(queries, step) {
  return queries.flatMap((query) =>
    query.form === 'table' ? [tableFrame(query)] : query.result.map((one) => seriesFrame(query, one, step))
  );
}
