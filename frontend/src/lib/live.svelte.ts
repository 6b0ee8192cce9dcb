// The server's events: what changed in the catalogue, how tasks go. Reconnects by itself.

import { SvelteMap } from "svelte/reactivity";
import { api } from "./api";
import { session } from "./session.svelte";
import { toasts } from "./toasts.svelte";
import type { Task } from "./types";

export interface Change {
  seq: number;
  kind: string;
  series_uid: string;
}

const ENDED = new Set(["done", "failed", "cancelled"]);

class Live {
  connected = $state(true);
  /** Tasks of every kind that run, wait, or ended a moment ago, by id. */
  readonly tasks = new SvelteMap<string, Task>();
  readonly running = $derived([...this.tasks.values()].filter((task) => task.state === "running"));
  #source: EventSource | null = null;
  #onChange = new Set<(change: Change | null) => void>();
  #onTask = new Set<(task: Task) => void>();

  start(): void {
    this.#source?.close();
    const source = new EventSource("/api/events");
    this.#source = source;
    source.addEventListener("hello", () => this.#greeted());
    source.addEventListener("change", (event) => this.#changed(JSON.parse(event.data) as Change));
    source.addEventListener("task", (event) => this.#worked(JSON.parse(event.data) as Task));
    source.addEventListener("error", () => {
      this.connected = false;
      if (source.readyState === EventSource.CLOSED && this.#source === source) setTimeout(() => this.start(), 3000);
    });
  }

  stop(): void {
    this.#source?.close();
    this.#source = null;
  }

  /** Calls back on each change of the catalogue; with null after a pause in which some were missed. */
  onChange(call: (change: Change | null) => void): () => void {
    this.#onChange.add(call);
    return () => this.#onChange.delete(call);
  }

  onTask(call: (task: Task) => void): () => void {
    this.#onTask.add(call);
    return () => this.#onTask.delete(call);
  }

  #greeted(): void {
    const missed = !this.connected;
    this.connected = true;
    void this.#readWork();
    if (missed) for (const call of this.#onChange) call(null);
  }

  async #readWork(): Promise<void> {
    try {
      const work = session.may("run") ? await api.work() : [];
      this.tasks.clear();
      for (const task of work) if (!ENDED.has(task.state)) this.tasks.set(task.id, task);
    } catch (error) {
      toasts.error(error);
    }
  }

  #changed(change: Change): void {
    for (const call of this.#onChange) call(change);
  }

  #worked(task: Task): void {
    if (ENDED.has(task.state)) this.tasks.delete(task.id);
    else this.tasks.set(task.id, task);
    for (const call of this.#onTask) call(task);
  }
}

export const live = new Live();

/** A call that waits until it has not been asked again for a while, but at most four times as long. */
export function settled(call: () => void, wait: number): () => void {
  let timer = 0;
  let since = 0;
  return () => {
    const now = Date.now();
    if (!timer) since = now;
    clearTimeout(timer);
    timer = window.setTimeout(
      () => {
        timer = 0;
        call();
      },
      Math.max(0, Math.min(wait, since + 4 * wait - now)),
    );
  };
}
