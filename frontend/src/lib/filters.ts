// What the gallery asks for, and how that is written in the address. Pure.

import { FACETS, type Facet } from "./types";

export interface Filters {
  q: string;
  sort: string;
  study: string;
  patient: string;
  facets: Record<Facet, string[]>;
}

export const SORTS: [value: string, label: string][] = [
  ["-changed", "Newest first"],
  ["-date", "Study date"],
  ["patient", "Patient"],
  ["modality", "Modality"],
  ["description", "Description"],
];

export function noFilters(): Filters {
  const facets = Object.fromEntries(FACETS.map((facet) => [facet, []])) as unknown as Record<Facet, string[]>;
  return { q: "", sort: "-changed", study: "", patient: "", facets };
}

/** What the server is asked; also what stands in the address, so that it can be sent to a colleague. */
export function toParams(filters: Filters): URLSearchParams {
  const params = new URLSearchParams();
  if (filters.q.trim()) params.set("q", filters.q.trim());
  for (const facet of FACETS) for (const value of filters.facets[facet]) params.append(facet, value);
  if (filters.study) params.set("study", filters.study);
  if (filters.patient) params.set("patient", filters.patient);
  if (filters.sort !== "-changed") params.set("sort", filters.sort);
  return params;
}

export function fromParams(params: URLSearchParams): Filters {
  const filters = noFilters();
  filters.q = params.get("q") ?? "";
  filters.study = params.get("study") ?? "";
  filters.patient = params.get("patient") ?? "";
  const sort = params.get("sort") ?? "";
  if (SORTS.some(([value]) => value === sort)) filters.sort = sort;
  for (const facet of FACETS) filters.facets[facet] = params.getAll(facet);
  return filters;
}

/** With this value in, if it was out, and out, if it was in. */
export function toggled(filters: Filters, facet: Facet, value: string): Filters {
  const chosen = filters.facets[facet];
  const next = chosen.includes(value) ? chosen.filter((other) => other !== value) : [...chosen, value];
  return { ...filters, facets: { ...filters.facets, [facet]: next } };
}

/** Whether anything narrows the list. */
export function narrowed(filters: Filters): boolean {
  return Boolean(filters.q.trim() || filters.study || filters.patient) || FACETS.some((f) => filters.facets[f].length);
}
