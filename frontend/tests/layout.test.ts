import { describe, expect, test } from "vitest";
import { below, grid, neighbour, reveal, scrollFor, TALLEST, type Grid, type Viewport } from "../src/lib/layout";

const view = (scrollTop: number): Viewport => ({ width: 1000, height: 800, scrollTop });
const cards = (items: number, scrollTop = 0) => grid(items, view(scrollTop), 190, 10, 60);

/** Where the top of an item is on the screen. */
function place(index: number, layout: Grid, scrollTop: number): number {
  return Math.floor(index / layout.columns) * layout.rowHeight + layout.shift - scrollTop;
}

describe("the grid", () => {
  test("fills the width exactly", () => {
    const layout = cards(100);
    expect(layout.columns).toBe(5);
    expect(layout.columns * layout.cardWidth + 4 * 10).toBeCloseTo(1000);
  });

  test("draws what is on the screen and little more", () => {
    const layout = cards(100_000, 50_000);
    expect(place(layout.first, layout, 50_000)).toBeLessThanOrEqual(0);
    expect(place(layout.last - 1, layout, 50_000) + layout.rowHeight).toBeGreaterThanOrEqual(800);
    expect(layout.last - layout.first).toBeLessThan(60);
  });

  test.each([1, 4, 5, 6, 1_000_000])("shows the last of %d items at the end", (items) => {
    const end = Math.max(0, cards(items).height - 800);
    const layout = cards(items, end);
    expect(layout.last).toBe(items);
    expect(place(items - 1, layout, end) + layout.rowHeight).toBeLessThanOrEqual(800 + 1);
  });

  test("is never taller than browsers allow, and still reaches every item", () => {
    const layout = cards(1_000_000);
    expect(layout.height).toBe(TALLEST);
    const middle = reveal(500_000, layout, view(0), 1_000_000);
    const there = cards(1_000_000, middle);
    expect(there.first).toBeLessThanOrEqual(500_000);
    expect(there.last).toBeGreaterThan(500_000);
    expect(place(500_000, there, middle)).toBeGreaterThanOrEqual(-1);
    expect(place(500_000, there, middle) + there.rowHeight).toBeLessThanOrEqual(801);
  });

  test("of nothing is empty", () => {
    expect(cards(0)).toMatchObject({ first: 0, last: 0, height: 0 });
  });

  test("does not scroll for what is in view already", () => {
    expect(reveal(12, cards(100, 300), view(300), 100)).toBe(300);
  });
});

describe("the arrow keys", () => {
  test.each([
    ["ArrowRight", 0, 1],
    ["ArrowLeft", 0, 0],
    ["ArrowRight", 99, 99],
    ["ArrowDown", 3, 8],
    ["ArrowUp", 3, 3],
    ["ArrowDown", 97, 97],
    ["PageDown", 3, 18],
    ["PageDown", 95, 99],
    ["End", 3, 99],
    ["Home", 50, 0],
  ])("%s from %d", (key, from, to) => expect(neighbour(key, from, 100, 5, 3)).toBe(to));
});

test.each([
  [100, 900],
  [1_000_000, 2_000_000],
])("of %d items, one stays where it is while cards grow", (items, scrolled) => {
  const before = cards(items, scrolled);
  const index = before.first + 2 * before.columns;
  const offset = below(index, before, view(scrolled));
  const bigger = grid(items, view(scrolled), 300, 10, 60);
  const scrollTop = scrollFor(index, offset, bigger, view(scrolled), items);
  const after = grid(items, view(scrollTop), 300, 10, 60);
  expect(below(index, after, view(scrollTop))).toBeCloseTo(offset, 3);
  expect(after.first).toBeLessThanOrEqual(index);
  expect(after.last).toBeGreaterThan(index);
});
