// Files that people drop on the page go to the server one by one, by STOW-RS.

import { api, ApiError } from "./api";

const AT_ONCE = 3;

export interface Refused {
  name: string;
  reason: string;
}

class Upload {
  total = $state(0);
  done = $state(0);
  refused = $state<Refused[]>([]);
  shown = $state(false);
  readonly busy = $derived(this.done < this.total);
  #queue: File[] = [];
  #senders = 0;

  add(files: File[]): void {
    if (!files.length) return;
    if (!this.busy) {
      this.total = this.done = 0;
      this.refused = [];
    }
    this.shown = true;
    this.total += files.length;
    this.#queue.push(...files);
    while (this.#senders < AT_ONCE && this.#senders < this.#queue.length) void this.#send();
  }

  stop(): void {
    this.total -= this.#queue.length;
    this.#queue = [];
  }

  close(): void {
    this.shown = false;
  }

  async #send(): Promise<void> {
    this.#senders += 1;
    for (let file = this.#queue.shift(); file; file = this.#queue.shift()) {
      try {
        await api.store(file);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.refused.push({ name: file.name, reason: error.message });
      } finally {
        this.done += 1;
      }
    }
    this.#senders -= 1;
  }
}

export const upload = new Upload();

/** All files of a drop, those in folders too. */
export async function filesOf(transfer: DataTransfer): Promise<File[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const found: File[] = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry: FileSystemEntry, found: File[]): Promise<void> {
  if (entry.isFile) {
    found.push(await new Promise<File>((yes, no) => (entry as FileSystemFileEntry).file(yes, no)));
  } else {
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const next = () => new Promise<FileSystemEntry[]>((yes, no) => reader.readEntries(yes, no));
    for (let part = await next(); part.length; part = await next()) for (const inner of part) await walk(inner, found);
  }
}
