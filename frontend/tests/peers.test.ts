import { describe, expect, it } from "vitest";
import { abilities, fates, keys, nothingWanted, outcome, rights } from "../src/lib/peers";
import type { Series } from "../src/lib/types";

describe("what is asked of a peer", () => {
  it("is nothing where nothing is said", () => {
    expect(keys(nothingWanted())).toEqual({});
  });

  it("matches names by how they begin, as people write them", () => {
    expect(keys({ ...nothingWanted(), name: " Doe, Jane " })).toEqual({ name: "Doe^Jane*" });
    expect(keys({ ...nothingWanted(), name: "*JANE" })).toEqual({ name: "*JANE" });
  });

  it("writes a day, a range, and ranges that are open", () => {
    const dates = (from: string, to: string) => keys({ ...nothingWanted(), from, to }).date;
    expect(dates("2024-01-31", "2024-01-31")).toBe("20240131");
    expect(dates("2024-01-01", "2024-01-31")).toBe("20240101-20240131");
    expect(dates("2024-01-01", "")).toBe("20240101-");
    expect(dates("", "2024-01-31")).toBe("-20240131");
  });

  it("takes modalities in any case", () => {
    expect(keys({ ...nothingWanted(), modality: "ct" })).toEqual({ modality: "CT" });
  });
});

describe("what a peer and a transfer are said to do", () => {
  it("tells abilities in words", () => {
    expect(abilities(["echo", "store", "find"])).toBe("It takes images, can be searched.");
    expect(abilities(["echo"])).toBe("It does nothing for us but answer.");
  });

  it("tells rights in words", () => {
    expect(rights(["query", "retrieve", "store"])).toBe("It may search, retrieve and store here.");
    expect(rights(["query"])).toBe("It may search here.");
    expect(rights([])).toBe("It may ask nothing of Kahu.");
  });

  it("tells what came of it, and nothing that did not happen", () => {
    const failures: never[] = [];
    expect(outcome({ arrived: 2, already: 0, failed: 0, failures })).toBe("2 objects arrived");
    expect(outcome({ arrived: 0, already: 1, failed: 0, failures })).toBe("1 object was there before");
    expect(outcome({ arrived: 1, already: 2, failed: 1200, failures })).toBe(
      "1 object arrived, 2 objects were there before, 1,200 failed",
    );
    expect(outcome({ arrived: 0, already: 0, failed: 3, failures })).toBe("0 objects arrived, 3 failed");
  });
});

describe("what deleting does", () => {
  const series = (uid: string, ...stores: string[]) => ({ uid, stores }) as unknown as Series;

  it("tells what goes for good from what is only forgotten", () => {
    const all = [series("1", "Kahu"), series("2", "folder"), series("3", "folder", "Kahu")];
    const found = fates(all, new Set(["Kahu"]));
    expect(found.deleted.map((one) => one.uid)).toEqual(["1"]);
    expect(found.forgotten.map((one) => one.uid)).toEqual(["2"]);
    expect(found.both.map((one) => one.uid)).toEqual(["3"]);
  });
});
