// What a store transaction answers (PS3.18 annex I.2). Pure.

/** Failure Reason (0008,1197), as far as Kahu gives it, in words for people. */
const REASONS: Record<number, string> = {
  0x0110: "it is broken, or lacks what each DICOM object must have",
  0x0111: "another object with this SOP Instance UID is here, and says something else",
  0xa700: "there is no room left where Kahu keeps its files",
  0xc000: "it cannot be read as a DICOM file",
};

interface Element {
  Value?: unknown[];
}

type DataSet = Record<string, Element | undefined>;

/** Why the first of the objects that were sent was not stored; empty: the answer does not say. */
export function whyNot(answer: unknown): string {
  const data = (answer ?? {}) as DataSet;
  const items = [...(data["00081198"]?.Value ?? []), ...(data["0008119A"]?.Value ?? [])] as DataSet[];
  const reason = items[0]?.["00081197"]?.Value?.[0];
  return typeof reason === "number" ? (REASONS[reason] ?? `failure reason ${reason.toString(16)}`) : "";
}
