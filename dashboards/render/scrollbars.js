// The package's two builds export differently; Grafana's components want both names.
import * as built from './node_modules/react-custom-scrollbars-2/lib/index.js';

export const Scrollbars = built.Scrollbars;
export default built.Scrollbars;
