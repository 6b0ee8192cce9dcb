import { describe, expect, test } from "vitest";
import { age, ago, date, duration, person, sentence, size, tag, words } from "../src/lib/format";

describe("DICOM's values", () => {
  test.each([
    ["20240131", "2024-01-31"],
    ["2024.01.31", "2024-01-31"],
    ["unknown", "unknown"],
    ["", ""],
  ])("date %s", (da, shown) => expect(date(da)).toBe(shown));

  test.each([
    ["DOE^JANE", "DOE, JANE"],
    ["DOE^JANE^M^DR^PHD", "DOE, JANE M"],
    ["^JANE", "JANE"],
    ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"],
    ["=山田^太郎", "山田, 太郎"],
    ["", ""],
  ])("person %s", (pn, shown) => expect(person(pn)).toBe(shown));

  test.each([
    ["19800615", "20240614", 43],
    ["19800615", "20240615", 44],
    ["", "20240615", null],
    ["20250101", "20240101", null],
  ])("age from %s to %s", (birth, at, years) => expect(age(birth, at)).toBe(years));

  test("tag", () => expect(tag("0008103E")).toBe("(0008,103E)"));

  test.each([
    ["PatientBirthDate", "Patient Birth Date"],
    ["SOPInstanceUID", "SOP Instance UID"],
    ["RTROIObservationsSequence", "RTROI Observations Sequence"],
  ])("words of %s", (keyword, shown) => expect(words(keyword)).toBe(shown));
});

describe("numbers and times", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [527_000, "527 kB"],
    [999_600, "1.00 MB"],
    [97e9, "97.0 GB"],
  ])("size of %d", (bytes, shown) => expect(size(bytes)).toBe(shown));

  test.each([
    [0.44, "0.4 s"],
    [9.97, "10 s"],
    [59.6, "1 min 0 s"],
    [3725, "1 h 2 min"],
  ])("duration of %d s", (seconds, shown) => expect(duration(seconds)).toBe(shown));

  test("a time long ago has its date", () => {
    const now = Date.parse("2024-05-02T12:00:00");
    expect(ago("2024-05-02T11:59:40", now)).toBe("just now");
    expect(ago("2024-05-02T11:55:00", now)).toBe("5 min ago");
    expect(ago("2024-05-02T08:05:00", now)).toBe("today 08:05");
    expect(ago("2024-04-30T08:05:00", now)).toBe("2024-04-30 08:05");
  });

  test.each([
    ["no such file", "No such file."],
    ["Try again!", "Try again!"],
    ["", ""],
  ])("sentence of %s", (text, shown) => expect(sentence(text)).toBe(shown));
});
