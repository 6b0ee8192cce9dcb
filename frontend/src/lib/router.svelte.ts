// Where we are, by the History API. One reactive place; links are ordinary <a href>.

export interface Route {
  page: "series" | "runs" | "run" | "tools" | "stores" | "peers" | "nowhere";
  /** The series or the run that the address names; empty when none. */
  id: string;
}

export function parse(path: string): Route {
  const [first = "", ...rest] = path.split("/").filter(Boolean);
  const id = decodeURIComponent(rest.join("/"));
  if (first === "") return { page: "series", id: "" };
  if (first === "series") return { page: "series", id };
  if (first === "runs") return id ? { page: "run", id } : { page: "runs", id: "" };
  if (first === "tools" || first === "stores" || first === "peers") return { page: first, id: "" };
  return { page: "nowhere", id: "" };
}

class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  readonly route = $derived(parse(this.path));

  constructor() {
    addEventListener("popstate", () => this.#read());
    document.addEventListener("click", (event) => this.#follow(event));
  }

  go(address: string, replace = false): void {
    if (address === this.path + this.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", address);
    this.#read();
  }

  #read(): void {
    this.path = location.pathname;
    this.search = location.search;
  }

  /** A plain click on a link to one of our own pages needs no load. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = (event.target as Element).closest("a");
    if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
    if (parse(link.pathname).page === "nowhere") return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
