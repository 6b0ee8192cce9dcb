// What is asked of peers and what comes of it, in words. Pure.

import { count, plural } from "./format";
import type { Echo, Outcome, Peer, Row, Series } from "./types";

/** A form in which people say which studies they look for. Dates as a browser gives them: "2024-01-31". */
export interface Wanted {
  name: string;
  id: string;
  accession: string;
  modality: string;
  from: string;
  to: string;
}

export function nothingWanted(): Wanted {
  return { name: "", id: "", accession: "", modality: "", from: "", to: "" };
}

/** The keys of a query (PS3.4 C.2.2.2). A name stands for all that begin so, unless it has wildcards of its own. */
export function keys(wanted: Wanted): Row {
  const name = wanted.name.trim().replace(/\s*,\s*/, "^");
  const [from, to] = [wanted.from, wanted.to].map((date) => date.replaceAll("-", ""));
  const found: Row = {
    name: name && !/[*?]/.test(name) ? `${name}*` : name,
    id: wanted.id.trim(),
    accession: wanted.accession.trim(),
    modality: wanted.modality.trim().toUpperCase(),
    date: from || to ? (from === to ? (from ?? "") : `${from}-${to}`) : "",
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value));
}

const ABILITIES: [Echo["can"][number], string][] = [
  ["store", "takes images"],
  ["find", "can be searched"],
  ["get", "gives images on request (C-GET)"],
  ["move", "sends images to known addresses (C-MOVE)"],
];

/** What a peer that answers can do, as a sentence. */
export function abilities(can: Echo["can"]): string {
  const told = ABILITIES.filter(([one]) => can.includes(one)).map(([, words]) => words);
  return told.length ? `It ${told.join(", ")}.` : "It does nothing for us but answer.";
}

const RIGHTS = { store: "store", query: "search", retrieve: "retrieve" };

/** What a peer may ask of Kahu, as a sentence. */
export function rights(may: Peer["may"]): string {
  const told = may.map((right) => RIGHTS[right]);
  return told.length ? `It may ${told.join(", ").replace(/, (?=\w+$)/, " and ")} here.` : "It may ask nothing of Kahu.";
}

/** What has come of a transfer that has ended: "118 images arrived, 3 were there before, 2 failed". */
export function outcome(result: Outcome): string {
  const { arrived, already, failed } = result;
  const parts = [
    arrived || !already ? `${plural(arrived, "object")} arrived` : "",
    already ? `${plural(already, "object")} ${already === 1 ? "was" : "were"} there before` : "",
    failed ? `${count(failed)} failed` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

/** What deleting these series does: how many go for good, are only forgotten, or both. `owned`: names of stores. */
export function fates(series: Series[], owned: Set<string>): { deleted: Series[]; forgotten: Series[]; both: Series[] } {
  const own = (one: Series) => one.stores.filter((name) => owned.has(name)).length;
  return {
    deleted: series.filter((one) => own(one) === one.stores.length),
    forgotten: series.filter((one) => own(one) === 0 && one.stores.length > 0),
    both: series.filter((one) => own(one) > 0 && own(one) < one.stores.length),
  };
}
