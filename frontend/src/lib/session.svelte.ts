// Who looks at this page, and what they may do here.

import type { Me } from "./types";

class Session {
  me = $state<Me | null>(null);

  /** read, write (tags, uploads), run (tools and runs), admin (stores). */
  may(right: string): boolean {
    return this.me?.may.includes(right) ?? false;
  }
}

export const session = new Session();
