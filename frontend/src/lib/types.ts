// What the server's /api says; its OpenAPI document is at /api/openapi.json.

export type Verdict = "valid" | "suspect" | "rejected";

export interface Result {
  task: string;
  run: string;
  tool: string;
  verdict: Verdict;
  reasons: string[];
  sources: string[];
}

export interface Series {
  uid: string;
  study_uid: string;
  patient_id: string;
  patient_name: string;
  patient_sex: string;
  patient_birth_date: string;
  study_date: string;
  study_description: string;
  modality: string;
  number: number | null;
  description: string;
  body_part: string;
  manufacturer: string;
  model: string;
  sop_class_uid: string;
  sop_class: string;
  instances: number;
  frames: number;
  bytes: number;
  stores: string[];
  tags: string[];
  available: boolean;
  result: Result | null;
  thumbnail: string;
  viewer: string | null;
}

export interface SeriesDetail extends Series {
  results: Series[];
}

export interface SeriesPage {
  total: number;
  series: Series[];
}

export interface Attribute {
  depth: number;
  tag: string;
  keyword: string;
  vr: string;
  value: string;
  differs: boolean;
}

export interface Attributes {
  instances: number;
  index: number;
  attributes: Attribute[];
}

export interface Count {
  value: string;
  count: number;
}

export const FACETS = ["modality", "body_part", "tag", "verdict", "store", "manufacturer"] as const;
export type Facet = (typeof FACETS)[number];
export type Facets = Record<Facet, Count[]>;

export type State = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Task {
  id: string;
  run: string;
  kind: string;
  title: string;
  state: State;
  attempt: number;
  progress: number | null;
  message: string;
  hint: string;
  created: string;
  started: string | null;
  ended: string | null;
  series_uid: string;
  result: { verdict: Verdict; reasons: string[]; series: string[] } | null;
  steps: Record<string, number>;
}

/** Series being sent to a peer, or studies being retrieved from one. */
export interface Transfer extends Omit<Task, "result"> {
  kind: "send" | "retrieve";
  result: Outcome | null;
}

export interface Outcome {
  arrived: number;
  already: number;
  failed: number;
  failures: { reason: string; count: number; uids: string[] }[];
}

export const RIGHTS = ["store", "query", "retrieve"] as const;

/** Another application that speaks DICOM. */
export interface Peer {
  name: string;
  aet: string;
  host: string;
  port: number;
  tls: boolean;
  /** What it may ask of Kahu. */
  may: (typeof RIGHTS)[number][];
}

/** This Kahu, as peers must know it. */
export interface Node {
  aet: string;
  port: number | null;
  loopback: boolean;
  tls: boolean;
}

export interface Echo {
  ok: boolean;
  seconds: number | null;
  can: ("echo" | "find" | "get" | "move" | "store")[];
  error: string;
  hint: string;
}

/** Keyword of an attribute -> its value. */
export type Row = Record<string, string>;

export interface Caption {
  description: string;
  patient: string;
}

export interface Run {
  id: string;
  tool: string;
  tool_title: string;
  version: string;
  digest: string;
  parameters: Record<string, unknown>;
  state: State;
  progress: number;
  counts: Record<State, number>;
  created: string;
  ended: string | null;
  by: string;
  enforces: Record<string, unknown>;
  tasks?: Task[];
  /** What people know the cases' series by, by UID. */
  captions?: Record<string, Caption>;
}

export interface Store {
  id: number;
  name: string;
  kind: string;
  url: string;
  state: "new" | "scanning" | "ready" | "gone";
  note: string;
  objects: number;
  series: number;
  bytes: number;
  refused: number;
  scanned: string | null;
  owned: boolean;
  /** The last look through it, or the one under way. */
  scan: { task: string; state: State; progress: number | null; message: string } | null;
}

export interface Refusal {
  key: string;
  reason: string;
  dicom: boolean;
}

export interface Conflict {
  id: number;
  uid: string;
  store: string;
  key: string;
  door: string;
  at: string;
}

export interface Parameter {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}

export interface Tool {
  name: string;
  version: string;
  title: string;
  description: string;
  licence: string;
  cite: string;
  digest: string;
  shipped: boolean;
  input: { modality: string[]; min_slices: number; form: string };
  parameters: { properties?: Record<string, Parameter>; required?: string[] };
  output: { kind: string; title: string; segments: { label: string; color: string }[] };
  /** Why it cannot be used; empty when it can. */
  error: string;
}

export interface Me {
  version: string;
  who: string;
  may: string[];
  stores: number;
  series: number;
  home_name: string;
}
