import { defineConfig } from 'vite'

// The API that `npm start` shows the page for.
const API = process.env['API'] ?? 'http://localhost:5000'

export default defineConfig({
  // The service adds its own policy and headers, and serves the files from its package.
  build: { outDir: '../rest/src/msaas_rest/home/page', emptyOutDir: true, target: 'es2022', modulePreload: { polyfill: false } },
  server: {
    port: 3000,
    // The service compares the origin with its own.
    proxy: Object.fromEntries(['/songs', '/auth', '/apiv1'].map((path) => [path, { target: API, changeOrigin: true, headers: { origin: API } }])),
  },
})
