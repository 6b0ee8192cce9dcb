// The server's /api and /dicomweb, as typed calls. Every failure becomes an ApiError with a hint.

import { whyNot } from "./stow";
import type {
  Attributes,
  Conflict,
  Echo,
  Facets,
  Me,
  Node,
  Peer,
  Refusal,
  Row,
  Run,
  Series,
  SeriesDetail,
  SeriesPage,
  Store,
  Task,
  Tool,
  Transfer,
} from "./types";

export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Called when the server wants to know who asks; the app then shows the sign-in page. */
let onSignedOut = () => {};

export function whenSignedOut(call: () => void): void {
  onSignedOut = call;
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, headers: { Accept: "application/json", ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError("Kahu does not answer", "Is it still running? Start it again with: kahu up", 0);
  }
  if (answer.ok) return answer;
  const error = await refusal(answer);
  if (answer.status === 401 && path !== "/api/session") onSignedOut();
  throw error;
}

async function refusal(answer: Response): Promise<ApiError> {
  const text = await answer.text();
  try {
    const body = JSON.parse(text) as { error?: string; hint?: string };
    const error = body.error || whyNot(body);
    if (error) return new ApiError(error, body.hint ?? "", answer.status);
  } catch {
    // not JSON: a proxy in between, say
  }
  return new ApiError(`The server answered ${answer.status}`, "Its log says more.", answer.status);
}

async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await send(path, init)).json() as Promise<T>;
}

function post(body: unknown): RequestInit {
  return { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

const peer = (name: string) => `/api/peers/${encodeURIComponent(name)}`;
const one = (uid: string) => `/api/series/${encodeURIComponent(uid)}`;

export const api = {
  me: () => json<Me>("/api/me"),
  signIn: (token: string) => send("/api/session", post({ token })),
  signOut: () => send("/api/session", { method: "DELETE" }),

  series: (filters: URLSearchParams, offset: number, limit: number, signal?: AbortSignal) => {
    const query = new URLSearchParams(filters);
    query.set("offset", String(offset));
    query.set("limit", String(limit));
    return json<SeriesPage>(`/api/series?${query}`, { signal });
  },
  facets: (filters: URLSearchParams, signal?: AbortSignal) => json<Facets>(`/api/facets?${filters}`, { signal }),
  detail: (uid: string) => json<SeriesDetail>(one(uid)),
  attributes: (uid: string, instance: number) => json<Attributes>(`${one(uid)}/attributes?instance=${instance}`),
  tag: (uid: string, label: string) =>
    json<Series>(`${one(uid)}/tags/${encodeURIComponent(label)}`, { method: "PUT" }),
  untag: (uid: string, label: string) =>
    json<Series>(`${one(uid)}/tags/${encodeURIComponent(label)}`, { method: "DELETE" }),

  stores: () => json<Store[]>("/api/stores"),
  addStore: (path: string) => json<Store>("/api/stores", post({ path })),
  scan: (id: number) => send(`/api/stores/${id}/scan`, { method: "POST" }),
  removeStore: (id: number) => send(`/api/stores/${id}`, { method: "DELETE" }),
  conflicts: () => json<Conflict[]>("/api/conflicts"),
  refused: (id: number) => json<Refusal[]>(`/api/stores/${id}/refused?limit=1000`),

  tools: () => json<Tool[]>("/api/tools"),
  start: (tool: string, series: string[], parameters: Record<string, unknown>) =>
    json<Run>("/api/runs", post({ tool, series, parameters })),
  runs: () => json<Run[]>("/api/runs"),
  run: (id: string) => json<Run>(`/api/runs/${id}`),
  cancelRun: (id: string) => send(`/api/runs/${id}/cancel`, { method: "POST" }),
  retryRun: (id: string) => send(`/api/runs/${id}/retry`, { method: "POST" }),
  cancelTask: (id: string) => send(`/api/tasks/${id}/cancel`, { method: "POST" }),
  work: () => json<Task[]>("/api/work"),

  node: () => json<Node>("/api/node"),
  peers: () => json<Peer[]>("/api/peers"),
  addPeer: (peer: Peer) => json<Peer>("/api/peers", post(peer)),
  removePeer: (name: string) => send(peer(name), { method: "DELETE" }),
  echo: (name: string) => json<Echo>(`${peer(name)}/echo`, { method: "POST" }),
  query: (name: string, level: "study" | "series", keys: Row) =>
    json<{ rows: Row[]; more: boolean }>(`${peer(name)}/query`, post({ level, keys })),
  transfers: () => json<Transfer[]>("/api/transfers?limit=20"),
  transfer: (id: string) => json<Transfer>(`/api/transfers/${id}`),
  sendTo: (name: string, series: string[]) => json<Transfer>("/api/sends", post({ peer: name, series })),
  retrieve: (name: string, studies: string[], series: string[] = []) =>
    json<Transfer>("/api/retrievals", post({ peer: name, studies, series })),
  cancelTransfer: (id: string) => json<Transfer>(`/api/transfers/${id}/cancel`, { method: "POST" }),
  retryTransfer: (id: string) => json<Transfer>(`/api/transfers/${id}/retry`, { method: "POST" }),

  /** Deletes a series where Kahu owns it, and forgets it where it is only read. */
  remove: (study: string, uid: string) =>
    send(`/dicomweb/studies/${encodeURIComponent(study)}/series/${encodeURIComponent(uid)}`, { method: "DELETE" }),

  /** The part of a task's log from a byte offset on, and the offset of the next part. */
  log: async (id: string, offset: number): Promise<{ text: string; next: number }> => {
    const answer = await send(`/api/tasks/${id}/log?offset=${offset}`, { headers: { Accept: "text/plain" } });
    return { text: await answer.text(), next: Number(answer.headers.get("X-Next-Offset") ?? offset) };
  },

  /** Stores one DICOM file (STOW-RS with a single part). */
  store: (file: File) =>
    send("/dicomweb/studies", {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/dicom", Accept: "application/dicom+json" },
    }),
};
