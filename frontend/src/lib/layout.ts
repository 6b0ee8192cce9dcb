// Which cards of a long grid are on the screen, and where. Pure: numbers in, numbers out.

/** Browsers limit how tall an element can be; a taller grid is scrolled in proportion. */
export const TALLEST = 8_000_000;

export interface Grid {
  columns: number;
  cardWidth: number;
  rowHeight: number;
  /** Height of the element that makes the scroll bar, in px. */
  height: number;
  /** The half-open range of items to draw. */
  first: number;
  last: number;
  /** What to add to a row's own top (row × rowHeight) to get its place in that element. */
  shift: number;
}

export interface Viewport {
  width: number;
  height: number;
  scrollTop: number;
}

/** `size` is the least width of a card, `gap` lies between cards, `text` is the height below the picture. */
export function grid(items: number, view: Viewport, size: number, gap: number, text: number): Grid {
  const columns = Math.max(1, Math.floor((view.width + gap) / (size + gap)));
  const cardWidth = Math.max(1, (view.width - gap * (columns - 1)) / columns);
  const rowHeight = cardWidth + text + gap;
  const rows = Math.ceil(items / columns);
  const real = rows * rowHeight;
  const height = Math.min(real, TALLEST);
  const shift = view.scrollTop - trueTop(view.scrollTop, real, height, view.height);
  const top = view.scrollTop - shift;
  const firstRow = Math.max(0, Math.floor(top / rowHeight) - 2);
  const lastRow = Math.min(rows, Math.ceil((top + view.height) / rowHeight) + 2);
  return {
    columns,
    cardWidth,
    rowHeight,
    height,
    first: Math.min(items, firstRow * columns),
    last: Math.min(items, lastRow * columns),
    shift,
  };
}

function trueTop(scrollTop: number, real: number, height: number, view: number): number {
  if (real === height || height <= view) return scrollTop;
  return (scrollTop / (height - view)) * (real - view);
}

/** How far below the top of the view an item begins, in px; negative: above it. */
export function below(index: number, layout: Grid, view: Viewport): number {
  return Math.floor(index / layout.columns) * layout.rowHeight + layout.shift - view.scrollTop;
}

/** The scroll position at which an item begins `offset` px below the top of the view. */
export function scrollFor(index: number, offset: number, layout: Grid, view: Viewport, items: number): number {
  const real = Math.ceil(items / layout.columns) * layout.rowHeight;
  const most = Math.max(0, real - view.height);
  const top = Math.min(most, Math.max(0, Math.floor(index / layout.columns) * layout.rowHeight - offset));
  return real === layout.height ? top : (top / most) * (layout.height - view.height);
}

/** The scroll position that brings an item into view, moving as little as possible. */
export function reveal(index: number, layout: Grid, view: Viewport, items: number): number {
  const offset = below(index, layout, view);
  const lowest = view.height - layout.rowHeight;
  if (offset >= 0 && offset <= lowest) return view.scrollTop;
  return scrollFor(index, offset < 0 ? 0 : lowest, layout, view, items);
}

/** Where an arrow key leads from an item. */
export function neighbour(key: string, index: number, items: number, columns: number, rows: number): number {
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
    PageUp: -columns * rows,
    PageDown: columns * rows,
    Home: -items,
    End: items,
  };
  const to = index + (steps[key] ?? 0);
  if (key === "ArrowUp" && to < 0) return index;
  if (key === "ArrowDown" && to >= items) return index;
  return Math.min(items - 1, Math.max(0, to));
}
