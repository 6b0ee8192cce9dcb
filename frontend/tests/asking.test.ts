import { describe, expect, test } from "vitest";
import { fromParams, narrowed, noFilters, toggled, toParams } from "../src/lib/filters";
import { fit, misfit } from "../src/lib/fit";
import { complaint, fields, initial, values } from "../src/lib/schema";
import type { Series, Tool } from "../src/lib/types";

const tool = (input: Partial<Tool["input"]>, properties: Tool["parameters"]["properties"] = {}): Tool => ({
  name: "brain",
  version: "1.0.0",
  title: "Brain",
  description: "",
  licence: "",
  cite: "",
  digest: "",
  shipped: true,
  input: { modality: ["MR"], min_slices: 8, form: "nifti", ...input },
  parameters: { properties },
  output: { kind: "segmentation", title: "Brain", segments: [] },
  error: "",
});

const series = (facts: Partial<Series>) => ({ modality: "MR", instances: 20, frames: 20, available: true, ...facts }) as Series;

describe("filters", () => {
  test("survive the address", () => {
    let filters = { ...noFilters(), q: "lung & left", sort: "patient", study: "1.2.3" };
    filters = toggled(toggled(toggled(filters, "modality", "CT"), "modality", "MR"), "body_part", "");
    expect(fromParams(new URLSearchParams(toParams(filters).toString()))).toEqual(filters);
  });

  test("a value chosen twice is out again", () => {
    const twice = toggled(toggled(noFilters(), "tag", "good"), "tag", "good");
    expect(twice).toEqual(noFilters());
    expect(narrowed(twice)).toBe(false);
  });

  test("an unknown order in the address is ignored", () => {
    expect(fromParams(new URLSearchParams("sort=size")).sort).toBe("-changed");
  });
});

describe("whether a tool fits", () => {
  test.each([
    [{}, ""],
    [{ modality: "CT" }, "works on MR, not on CT"],
    [{ instances: 1, frames: 1 }, "needs at least 8 slices; this series has 1"],
    [{ instances: 1, frames: 20 }, ""],
    [{ available: false }, "its store cannot be reached now"],
  ])("%o", (facts, reason) => expect(misfit(tool({}), series(facts))).toBe(reason));

  test("a tool without modalities takes all", () => {
    expect(misfit(tool({ modality: [] }), series({ modality: "XA" }))).toBe("");
  });

  test("of several, those that fit are used and the others explained", () => {
    const { fitting, reason } = fit(tool({}), [series({}), series({ modality: "CT" })]);
    expect(fitting).toHaveLength(1);
    expect(reason).toBe("1 series left out: it works on MR, not on CT.");
  });
});

describe("the form of a tool's parameters", () => {
  const all = fields({
    properties: {
      threshold: { type: "number", default: 0.5, minimum: 0, maximum: 1 },
      largest_only: { type: "boolean", default: true },
      side: { enum: ["both", "left"], default: "both" },
      seed: { type: "integer" },
      note: { type: "string", default: "" },
    },
  });
  const field = (name: string) => all.find((one) => one.name === name)!;

  test("starts with the defaults", () => {
    expect(initial(all)).toEqual({ threshold: "0.5", largest_only: true, side: "both", seed: "", note: "" });
  });

  test("names are made readable", () => expect(field("largest_only").label).toBe("Largest only"));

  test.each([
    ["threshold", "0.2", ""],
    ["threshold", "1.2", "At most 1."],
    ["threshold", "much", "This must be a number."],
    ["seed", "1.5", "This must be a whole number."],
    ["seed", "", "Please fill this in."],
    ["note", "", ""],
  ])("%s = %s", (name, text, said) => expect(complaint(field(name), text)).toBe(said));

  test("sends typed values and leaves out what is empty", () => {
    const form = { threshold: "0.25", largest_only: false, side: "left", seed: "7", note: " " };
    expect(values(all, form)).toEqual({ threshold: 0.25, largest_only: false, side: "left", seed: 7 });
  });
});
