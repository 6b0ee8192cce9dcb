import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const server = "http://127.0.0.1:8010"; // a running `kahu up`

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/kahu/server/static/app",
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "licenses.md" },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
  },
  server: { proxy: Object.fromEntries(["/api", "/dicomweb", "/ohif"].map((path) => [path, server])) },
});
