// The list that the gallery shows: as long as the answer is, but read page by page where one looks.

import { SvelteMap } from "svelte/reactivity";
import { api, ApiError } from "./api";
import { toParams, type Filters } from "./filters";
import type { Facets, Series } from "./types";

const PAGE = 60;
const KEPT = 300; // pages: 18,000 series
const AT_ONCE = 3;

export class SeriesList {
  /** How many there are; null until that is known. */
  total = $state<number | null>(null);
  error = $state<ApiError | null>(null);
  facets = $state<Facets | null>(null);
  #pages = new SvelteMap<number, Series[]>();
  #filters = new URLSearchParams();
  #wanted: number[] = [];
  #loading = new Map<number, AbortController>();
  #generation = 0;

  /** Asks anew. What is on the screen stays until the answer is there. */
  ask(filters: Filters): void {
    this.#filters = toParams(filters);
    void this.#restart();
  }

  /** The same question again: something has changed. */
  refresh(): Promise<void> {
    return this.#restart();
  }

  at(index: number): Series | undefined {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  indexOf(uid: string): number {
    for (const [page, series] of this.#pages) {
      const at = series.findIndex((one) => one.uid === uid);
      if (at >= 0) return page * PAGE + at;
    }
    return -1;
  }

  /** Puts a series' new state in the place of its old one. */
  replace(series: Series): void {
    for (const [page, all] of this.#pages) {
      const at = all.findIndex((one) => one.uid === series.uid);
      if (at >= 0) this.#pages.set(page, all.with(at, series));
    }
  }

  /** Says which items are on the screen: their pages are read first, others no longer. */
  look(first: number, last: number): void {
    const pages: number[] = [];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last - 1) / PAGE); page++) {
      pages.push(page);
    }
    this.#wanted = pages;
    for (const [page, controller] of this.#loading) if (page !== 0 && !pages.includes(page)) controller.abort();
    this.#pump();
  }

  /** The series of a range of indices, read if need be; at most `most` of them. */
  async range(from: number, to: number, most: number): Promise<Series[]> {
    const first = Math.min(from, to);
    const last = Math.min(Math.max(from, to), first + most - 1);
    const missing: number[] = [];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) {
      if (!this.#pages.has(page)) missing.push(page);
    }
    const generation = this.#generation;
    try {
      await Promise.all(missing.map((page) => this.#read(page, generation)));
    } catch (error) {
      this.#failed(error);
    }
    const found: Series[] = [];
    for (let index = first; index <= last; index++) {
      const series = this.at(index);
      if (series) found.push(series);
    }
    return found;
  }

  #restart(): Promise<void> {
    this.#generation += 1;
    for (const controller of this.#loading.values()) controller.abort();
    this.#loading.clear();
    const generation = this.#generation;
    const look = this.#wanted.length ? this.#wanted : [0];
    void this.#readFacets(generation);
    return this.#renew(look, generation);
  }

  /** Reads the pages on the screen under the new question, then drops all old ones at once: no flicker. */
  async #renew(look: number[], generation: number): Promise<void> {
    try {
      const offsets = look.includes(0) ? look : [0, ...look];
      const answers = await Promise.all(
        offsets.slice(0, 6).map(async (page) => [page, await api.series(this.#filters, page * PAGE, PAGE)] as const),
      );
      if (generation !== this.#generation) return;
      this.#pages.clear();
      for (const [page, answer] of answers) this.#pages.set(page, answer.series);
      this.total = answers[0]?.[1].total ?? 0;
      this.error = null;
      this.#pump();
    } catch (error) {
      if (generation === this.#generation) this.#failed(error);
    }
  }

  async #readFacets(generation: number): Promise<void> {
    try {
      const facets = await api.facets(this.#filters);
      if (generation === this.#generation) this.facets = facets;
    } catch (error) {
      if (generation === this.#generation) this.#failed(error);
    }
  }

  #pump(): void {
    if (this.total === null) return;
    for (const page of this.#wanted) {
      if (this.#loading.size >= AT_ONCE) return;
      if (this.#pages.has(page) || this.#loading.has(page) || page * PAGE >= this.total) continue;
      void this.#fill(page);
    }
  }

  async #read(page: number, generation: number, signal?: AbortSignal): Promise<void> {
    const answer = await api.series(this.#filters, page * PAGE, PAGE, signal);
    if (generation !== this.#generation) return;
    this.#pages.set(page, answer.series);
    this.total = answer.total;
    this.#forget(page);
  }

  /** Reads a page for the screen: given up when the screen moves on. */
  async #fill(page: number): Promise<void> {
    const controller = new AbortController();
    this.#loading.set(page, controller);
    try {
      await this.#read(page, this.#generation, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) this.#failed(error);
    } finally {
      if (this.#loading.get(page) === controller) this.#loading.delete(page);
      this.#pump();
    }
  }

  /** Lets go of the pages farthest from where one looks. */
  #forget(near: number): void {
    if (this.#pages.size <= KEPT) return;
    const far = [...this.#pages.keys()].sort((a, b) => Math.abs(b - near) - Math.abs(a - near));
    for (const page of far.slice(0, this.#pages.size - KEPT)) this.#pages.delete(page);
  }

  #failed(error: unknown): void {
    if (error instanceof ApiError) this.error = error;
    else throw error;
  }
}
