// DICOM's values, sizes and times in words for people. Pure.

/** DA (PS3.5 §6.2), "20240131" -> "2024-01-31"; anything else as it is. */
export function date(da: string): string {
  const parts = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(da.trim());
  return parts ? `${parts[1]}-${parts[2]}-${parts[3]}` : da;
}

/** PN (PS3.5 §6.2.1), "DOE^JANE^^DR" -> "DOE, JANE"; the alphabetic group, or the first that is there. */
export function person(pn: string): string {
  const group = pn.split("=").find((part) => part.trim()) ?? "";
  const [family = "", given = "", middle = ""] = group.split("^").map((part) => part.trim());
  const first = [given, middle].filter(Boolean).join(" ");
  return [family, first].filter(Boolean).join(", ");
}

/** Whole years between two DA values; null when either cannot be read. */
export function age(birth: string, at: string): number | null {
  const [from, to] = [birth, at].map((da) => /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(da.trim()));
  if (!from || !to) return null;
  const years = Number(to[1]) - Number(from[1]);
  const before = `${to[2]}${to[3]}` < `${from[2]}${from[3]}`;
  const whole = years - (before ? 1 : 0);
  return whole >= 0 && whole < 150 ? whole : null;
}

/** What a series is called: its own description, else its study's, else what kind of object it is. */
export function title(series: { description: string; study_description: string; sop_class: string }): string {
  const kind = series.sop_class.replace(/ Storage$/, "");
  return series.description.trim() || series.study_description.trim() || kind || "No description";
}

/** Bytes in decimal units, three digits: "527 kB", "1.30 GB". */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** 1234567 -> "1,234,567". */
export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** "1 series", "2 series"; "1 case", "2 cases". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Seconds as "0.4 s", "12 s", "3 min 5 s", "2 h 4 min". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Seconds between two ISO 8601 times; the second one may be missing: until `now`. */
export function elapsed(from: string | null, to: string | null, now: number): number | null {
  if (!from) return null;
  return Math.max(0, ((to ? Date.parse(to) : now) - Date.parse(from)) / 1000);
}

/** An ISO 8601 time as people say it: "just now", "5 min ago", "today 14:05", "2024-01-31 14:05". */
export function ago(iso: string, now: number): string {
  const then = new Date(iso);
  const seconds = (now - then.getTime()) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  const two = (n: number) => String(n).padStart(2, "0");
  const clock = `${two(then.getHours())}:${two(then.getMinutes())}`;
  const day = `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())}`;
  return new Date(now).toDateString() === then.toDateString() ? `today ${clock}` : `${day} ${clock}`;
}

/** Words as a sentence: "no such file" -> "No such file."; empty stays empty. */
export function sentence(text: string): string {
  const words = text.trim();
  if (!words) return "";
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?:…`]$/.test(words) ? "" : ".");
}

/** "00100020" -> "(0010,0020)". */
export function tag(hex: string): string {
  return `(${hex.slice(0, 4)},${hex.slice(4)})`;
}

/** "PatientBirthDate" -> "Patient Birth Date"; abbreviations stay whole. */
export function words(keyword: string): string {
  return keyword.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2");
}
