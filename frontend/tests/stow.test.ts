import { expect, test } from "vitest";
import { whyNot } from "../src/lib/stow";

const failed = (tag: string, reason: number) => ({
  [tag]: { vr: "SQ", Value: [{ "00081197": { vr: "US", Value: [reason] } }] },
});

test("a refusal is said in words, be the object named or not", () => {
  expect(whyNot(failed("0008119A", 0xc000))).toBe("it cannot be read as a DICOM file");
  expect(whyNot(failed("00081198", 0x0111))).toMatch(/another object/);
});

test("a reason that nobody foresaw is told as its code", () => {
  expect(whyNot(failed("00081198", 0xa901))).toBe("failure reason a901");
});

test("what is no answer to a store transaction says nothing", () => {
  expect(whyNot({ other: 1 })).toBe("");
  expect(whyNot(null)).toBe("");
});
