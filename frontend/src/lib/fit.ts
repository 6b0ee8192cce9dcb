// Whether a tool can work on what is selected. Pure; the server decides, this only explains beforehand.

import { plural } from "./format";
import type { Series, Tool } from "./types";

/** Why the tool does not fit this series; empty when it does. */
export function misfit(tool: Tool, series: Series): string {
  if (tool.error) return `cannot be used: ${tool.error}`;
  const { modality, min_slices: least } = tool.input;
  if (modality.length && !modality.includes(series.modality)) {
    return `works on ${modality.join(" or ")}, not on ${series.modality || "a series without modality"}`;
  }
  if (Math.max(series.instances, series.frames) < least) {
    return `needs at least ${plural(least, "slice")}; this series has ${Math.max(series.instances, series.frames)}`;
  }
  if (!series.available) return "its store cannot be reached now";
  return "";
}

export interface Fit {
  fitting: Series[];
  /** One sentence on what does not fit; empty when all do. */
  reason: string;
}

/** Which of the selected series the tool can work on, and why not on the others. */
export function fit(tool: Tool, selected: Series[]): Fit {
  const fitting = selected.filter((series) => !misfit(tool, series));
  const others = selected.filter((series) => misfit(tool, series));
  const first = others[0];
  if (!first) return { fitting, reason: "" };
  const why = misfit(tool, first);
  if (selected.length === 1) return { fitting, reason: `It ${why}.` };
  const reasons = new Set(others.map((series) => misfit(tool, series)));
  const more = reasons.size > 1 ? " (and other reasons)" : "";
  if (!fitting.length) return { fitting, reason: `It ${why}${more}.` };
  return { fitting, reason: `${plural(others.length, "series", "series")} left out: it ${why}${more}.` };
}
