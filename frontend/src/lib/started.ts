// Runs that were started here: when one ends while one looks elsewhere, a toast says so.

import { api } from "./api";
import { plural } from "./format";
import { live, settled } from "./live.svelte";
import { router } from "./router.svelte";
import { toasts } from "./toasts.svelte";

const waiting = new Set<string>();

/** Says it when this run has ended. */
export function watch(run: string): void {
  waiting.add(run);
}

async function look(id: string): Promise<void> {
  try {
    const run = await api.run(id);
    if (run.state === "queued" || run.state === "running" || !waiting.delete(id)) return;
    if (router.path === `/runs/${id}`) return;
    const { done, failed } = run.counts;
    const words = [done && `${plural(done, "case")} done`, failed && `${failed} failed`].filter(Boolean).join(", ");
    toasts.show(failed ? "error" : "done", `${run.tool_title}: ${words || run.state}`, "", `/runs/${id}`);
  } catch (error) {
    toasts.error(error);
  }
}

const looks = new Map<string, () => void>();

live.onTask((task) => {
  if (!waiting.has(task.run) || task.state === "running" || task.state === "queued") return;
  const call = looks.get(task.run) ?? settled(() => void look(task.run), 400);
  looks.set(task.run, call);
  call();
});
