// Draws one dashboard from its JSON and from what Prometheus answered (see render.py), with Grafana's components.
import React from 'react';
import { createRoot } from 'react-dom/client';
import {
  applyFieldOverrides, createTheme, dateTime, FieldConfigOptionsRegistry, formattedValueToString, getFieldDisplayName,
  getFieldDisplayValues, getValueFormat, identityOverrideProcessor, standardFieldConfigEditorRegistry, standardTransformers,
  standardTransformersRegistry, ThemeContext, transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, Table, TimeSeries } from '@grafana/ui';
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import 'uplot/dist/uPlot.min.css';
import { Heatmap, StateTimeline } from './drawn.jsx';
import { framesOf } from './frames.js';

const data = window.__data;
const log = [];
window.addEventListener('error', (event) => log.push(`error: ${event.message}`));
const theme = createTheme({ colors: { mode: 'dark' } });
const [CELL, ROW, GAP] = [data.width / 24, 30, 8];
const range = [data.from * 1000, data.to * 1000];
const timeRange = { from: dateTime(range[0]), to: dateTime(range[1]), raw: { from: dateTime(range[0]), to: dateTime(range[1]) } };
const CUSTOM = { drawStyle: 'line', lineInterpolation: 'linear', axisPlacement: 'auto', pointSize: 5, scaleDistribution: { type: 'linear' },
  hideFrom: { tooltip: false, viz: false, legend: false }, stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' }, barAlignment: 0 };

const option = (id, path = id, isCustom = false) => ({ id, path, name: id, isCustom, editor: () => null, override: () => null,
  process: identityOverrideProcessor, shouldApply: () => true, settings: {} });
const standard = ['unit', 'min', 'max', 'decimals', 'displayName', 'color', 'noValue', 'thresholds', 'mappings', 'links'].map((id) => option(id));
const customIds = [...Object.keys(CUSTOM), 'axisSoftMin', 'axisSoftMax', 'lineWidth', 'fillOpacity', 'showPoints', 'cellOptions', 'width', 'align', 'spanNulls'];
standardFieldConfigEditorRegistry.setInit(() => standard);
standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((one) => [one.id, one])).values()].map((one) => ({
    id: one.id, aliasIds: one.aliasIds, name: one.name, transformation: async () => one, editor: () => null })));
const fieldConfigRegistry = new FieldConfigOptionsRegistry(() => [...standard, ...customIds.map((id) => option(`custom.${id}`, id, true))]);

async function prepare(panel) {
  let frames = framesOf(data.queries.filter((query) => query.panel_id === panel.id), data.step);
  if (panel.transformations?.length && frames.length) {
    frames = await new Promise((resolve) => transformDataFrame(panel.transformations, frames).subscribe(resolve));
  }
  const { defaults, overrides } = panel.fieldConfig;
  const color = panel.type === 'timeseries' ? { mode: 'palette-classic' } : { mode: 'thresholds' };
  const custom = panel.type === 'timeseries' ? { ...CUSTOM, ...defaults.custom } : defaults.custom;
  return applyFieldOverrides({ data: frames, fieldConfig: { overrides, defaults: { color, ...defaults, custom } },
    replaceVariables: (text) => text, theme, timeZone: 'utc', fieldConfigRegistry });
}

function valuesOf(panel, frames) {
  const values = getFieldDisplayValues({ fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions,
    replaceVariables: (text) => text, theme, data: frames, timeZone: 'utc' });
  log.push(`${panel.title}: ${values.map((one) => `${one.display.title}=${formattedValueToString(one.display)}`).join('; ')}`);
  return values;
}

function Stat({ panel, frames, width, height }) {
  const values = valuesOf(panel, frames).slice(0, 4);
  return (
    <div style={{ display: 'flex' }}>
      {values.map((one, place) => (
        <BigValue key={place} width={width / values.length} height={height} value={{ ...one.display, title: values.length > 1 ? one.display.title : undefined }}
          colorMode={panel.options.colorMode} graphMode="none" justifyMode="center" textMode={values.length > 1 ? 'auto' : 'value'} theme={theme} />
      ))}
    </div>
  );
}

function Bars({ panel, frames, width, height }) {
  const values = valuesOf(panel, frames);
  const each = Math.min(34, height / Math.max(values.length, 1));
  return values.map((one, place) => (
    <div key={place} style={{ height: each }}>
      <BarGauge width={width} height={each - 6} value={one.display} field={one.field} display={one.display.display} orientation="horizontal"
        displayMode={panel.options.displayMode} showUnfilled={panel.options.showUnfilled} theme={theme} itemSpacing={6} valueDisplayMode="color"
        text={{ titleSize: 12, valueSize: 13 }} alignmentFactors={{ title: longest(values.map((v) => v.display.title)), text: '100.0 %' }} />
    </div>
  ));
}

const longest = (texts) => texts.reduce((one, other) => (other.length > one.length ? other : one), '');

const drawnOn = new WeakSet();
function marks(panel) {
  const exemplars = data.exemplars.filter((one) => one.panel_id === panel.id);
  return (builder) => {
    if (!drawnOn.has(builder)) {
      drawnOn.add(builder);
      builder.addHook('draw', (plot) => draw(plot, exemplars));
    }
    return null;
  };
}

function draw(plot, exemplars) {
  const { ctx, bbox } = plot;
  const { scale } = plot.series[1];
  ctx.save();
  for (const { time, color } of data.annotations) {
    const x = plot.valToPos(time * 1000, 'x', true);
    ctx.strokeStyle = theme.visualization.getColorByName(color);
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.fillStyle = theme.visualization.getColorByName('super-light-blue');
  for (const { time, value } of thinned(exemplars)) {
    const [x, y] = [plot.valToPos(time * 1000, 'x', true), plot.valToPos(value, scale, true)];
    if (y >= bbox.top && y <= bbox.top + bbox.height) ctx.fillRect(x - 2, y - 2, 4, 4);
  }
  ctx.restore();
}

// The slowest of each fiftieth of the time: Grafana does not show all of them either.
function thinned(exemplars) {
  const slowest = new Map();
  for (const one of exemplars) {
    const slot = Math.floor((50 * (one.time * 1000 - range[0])) / (range[1] - range[0]));
    if (!(slowest.get(slot)?.value >= one.value)) slowest.set(slot, one);
  }
  return slowest.values();
}

function Empty({ text }) {
  return <div style={{ color: theme.colors.text.secondary, textAlign: 'center', paddingTop: 60 }}>{text}</div>;
}

function Body({ panel, frames, width, height }) {
  const none = panel.fieldConfig.defaults.noValue ?? 'No data';
  const rows = frames.reduce((sum, frame) => sum + frame.length, 0);
  if (!rows && panel.type !== 'stat') { log.push(`${panel.title}: EMPTY`); return <Empty text={none} />; }
  const about = { frames, width, height, range, theme };
  switch (panel.type) {
    case 'stat': return <Stat {...{ panel, frames, width, height }} />;
    case 'bargauge': return <Bars {...{ panel, frames, width, height }} />;
    case 'table': return <Table data={frames[0]} width={width} height={height} timeRange={timeRange} initialSortBy={panel.options.sortBy} />;
    case 'state-timeline': return <StateTimeline {...about} />;
    case 'heatmap': {
      const format = getValueFormat(panel.options.yAxis.unit);
      return <Heatmap {...about} step={data.step} format={(value) => formattedValueToString(format(value))} />;
    }
    default:
      log.push(`${panel.title}: ${frames.map((frame) => getFieldDisplayName(frame.fields[1], frame, frames)).join(' | ')}`);
      return <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={panel.options.legend}>{marks(panel)}</TimeSeries>;
  }
}

function Row({ panel }) {
  return <div style={{ ...place(panel), color: theme.colors.text.primary, fontSize: 16, fontWeight: 500, paddingTop: 8 }}>⌄ {panel.title}</div>;
}

const place = ({ gridPos }) => ({ position: 'absolute', left: GAP + gridPos.x * CELL, top: 52 + gridPos.y * (ROW + GAP) });

function Picture({ panels }) {
  const bottom = Math.max(...panels.map(({ panel }) => panel.gridPos.y + panel.gridPos.h));
  const height = 52 + bottom * (ROW + GAP) + GAP;
  React.useEffect(() => { document.title = `height=${height}`; }, [height]);
  return (
    <div style={{ position: 'relative', background: theme.colors.background.canvas, width: data.width + 2 * GAP, height }}>
      <div style={{ position: 'absolute', left: GAP + 4, top: 14, fontSize: 20, fontWeight: 500, color: theme.colors.text.primary }}>{data.dashboard.title}</div>
      {panels.map(({ panel, frames }) => {
        if (panel.type === 'row') return <Row key={panel.id} panel={panel} />;
        const [width, high] = [panel.gridPos.w * CELL - GAP, panel.gridPos.h * (ROW + GAP) - GAP];
        return (
          <div key={panel.id} style={place(panel)}>
            <PanelChrome width={width} height={high} title={panel.title} description={panel.description}>
              {(inner, tall) => <Body panel={panel} frames={frames} width={inner} height={tall} />}
            </PanelChrome>
          </div>
        );
      })}
    </div>
  );
}

function App() {
  const [panels, setPanels] = React.useState(null);
  React.useEffect(() => {
    const fonts = new Promise((resolve) => setTimeout(() => document.fonts.ready.then(resolve), 300)); // texts are measured
    fonts
      .then(() => Promise.all(data.dashboard.panels.map(async (panel) => ({ panel, frames: panel.type === 'row' ? [] : await prepare(panel) }))))
      .then(setPanels)
      .catch((error) => log.push(`error: ${error.stack}`));
  }, []);
  return panels && <Picture panels={panels} />;
}

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { log.push(`error: ${error.stack}`); return { error }; }
  render() { return this.state.error ? <pre style={{ color: 'red' }}>{String(this.state.error.stack)}</pre> : this.props.children; }
}

createRoot(document.getElementById('root')).render(
  <Guard><ThemeContext.Provider value={theme}><GlobalStyles /><App /></ThemeContext.Provider></Guard>);
setTimeout(() => {
  const pre = document.createElement('pre');
  pre.id = 'log';
  pre.style.display = 'none';
  pre.textContent = log.join('\n');
  document.body.appendChild(pre);
}, 4000);
