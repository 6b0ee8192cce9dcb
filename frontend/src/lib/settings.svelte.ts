// What a person has set for this browser: theme, size of cards, whether the panel is open.

type Theme = "auto" | "dark" | "light";

function stored<T>(name: string, fallback: T, valid: (value: unknown) => boolean): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(`kahu.${name}`) ?? "null");
    return valid(value) ? (value as T) : fallback;
  } catch {
    return fallback; // storage is refused to this page, or holds something else
  }
}

function store(name: string, value: unknown): void {
  try {
    localStorage.setItem(`kahu.${name}`, JSON.stringify(value));
  } catch {
    // not remembered then
  }
}

class Settings {
  theme = $state(stored<Theme>("theme", "auto", (v) => v === "auto" || v === "dark" || v === "light"));
  card = $state(stored("card", 168, (v) => typeof v === "number" && v >= 96 && v <= 360));
  panel = $state(stored("panel", true, (v) => typeof v === "boolean"));

  constructor() {
    $effect.root(() => {
      $effect(() => {
        document.documentElement.dataset.theme = this.theme;
        store("theme", this.theme);
      });
      $effect(() => store("card", this.card));
      $effect(() => store("panel", this.panel));
    });
  }

  /** Dark becomes light and light dark, whatever the system says. */
  flip(): void {
    const dark =
      this.theme === "dark" || (this.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    this.theme = dark ? "light" : "dark";
  }
}

export const settings = new Settings();
