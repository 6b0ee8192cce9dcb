// Transfers to and from peers: those that were begun lately, followed while they run; a word when one has ended.

import { SvelteMap } from "svelte/reactivity";
import { api } from "./api";
import { live, settled } from "./live.svelte";
import { outcome } from "./peers";
import { router } from "./router.svelte";
import { session } from "./session.svelte";
import { toasts } from "./toasts.svelte";
import type { Transfer } from "./types";

const SECONDS = 1000;

class Transfers {
  /** By id; the newest first. */
  readonly all = new SvelteMap<string, Transfer>();
  /** Dialogs that show one themselves: nothing else needs to tell its end. */
  readonly watched = new Set<string>();
  #begun = new Set<string>();
  #timer = 0;

  constructor() {
    const again = settled(() => void this.read(), 300);
    live.onTask((task) => (task.kind === "send" || task.kind === "retrieve") && again());
  }

  /** Reads them anew, and again while one runs, for those who are not told of tasks. */
  async read(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const found = await api.transfers();
      this.all.clear();
      for (const one of found) this.#set(one);
    } catch (error) {
      toasts.error(error);
    }
    if (!session.may("run") && this.running) this.#timer = window.setTimeout(() => void this.read(), SECONDS);
  }

  get running(): boolean {
    return [...this.all.values()].some(under);
  }

  /** A transfer was begun here: its end will be told. */
  begun(transfer: Transfer): void {
    this.#begun.add(transfer.id);
    void this.read();
  }

  #set(transfer: Transfer): void {
    this.all.set(transfer.id, transfer);
    if (under(transfer) || !this.#begun.delete(transfer.id)) return;
    if (router.path !== "/peers" && !this.watched.has(transfer.id)) this.#tell(transfer);
  }

  #tell(transfer: Transfer): void {
    const { state, title, result, message } = transfer;
    if (state === "done") toasts.show("done", `${title}: ${result ? outcome(result) : "done"}`, "", "/peers");
    else if (state === "failed") toasts.show("error", `${title}: ${message}`, transfer.hint, "/peers");
  }
}

/** Whether it has not ended. */
export function under(transfer: Transfer): boolean {
  return transfer.state === "queued" || transfer.state === "running";
}

export const transfers = new Transfers();
