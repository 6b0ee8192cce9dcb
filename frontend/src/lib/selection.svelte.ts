// Which series are selected. Kept by UID, so that it survives scrolling, sorting and new arrivals.

import { SvelteMap } from "svelte/reactivity";
import type { Series } from "./types";

/** How many can be selected at once by a range, or all. */
export const MOST = 5000;

export class Selection {
  readonly chosen = new SvelteMap<string, Series>();
  /** Index of the card that the keyboard is on. */
  focus = $state(0);
  /** Index at which a range begins. */
  anchor = 0;

  has(uid: string): boolean {
    return this.chosen.has(uid);
  }

  only(series: Series, index: number): void {
    this.chosen.clear();
    this.chosen.set(series.uid, series);
    this.focus = this.anchor = index;
  }

  toggle(series: Series, index: number): void {
    if (!this.chosen.delete(series.uid)) this.chosen.set(series.uid, series);
    this.focus = this.anchor = index;
  }

  /** From the anchor to `index`, in place of what was selected. */
  extend(series: Series[], index: number): void {
    this.chosen.clear();
    this.add(series);
    this.focus = index;
  }

  add(series: Series[]): void {
    for (const one of series) this.chosen.set(one.uid, one);
  }

  clear(): void {
    this.chosen.clear();
  }
}
