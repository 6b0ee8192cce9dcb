// Short messages in the corner: what went wrong and what to do, what has finished.

import { ApiError } from "./api";

export interface Toast {
  id: number;
  kind: "error" | "done";
  text: string;
  hint: string;
  href: string;
}

class Toasts {
  all = $state<Toast[]>([]);
  #next = 1;

  show(kind: Toast["kind"], text: string, hint = "", href = ""): void {
    if (this.all.some((toast) => toast.text === text)) return;
    const id = this.#next++;
    this.all.push({ id, kind, text, hint, href });
    setTimeout(() => this.drop(id), kind === "error" ? 12_000 : 7_000);
  }

  /** Shows an error of a call to the server; aborted calls are no errors. */
  error(error: unknown): void {
    if (error instanceof ApiError) {
      if (error.status !== 401) this.show("error", error.message, error.hint);
    } else if (!(error instanceof DOMException && error.name === "AbortError")) {
      throw error;
    }
  }

  drop(id: number): void {
    this.all = this.all.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
