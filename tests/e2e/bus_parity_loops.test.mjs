// What candela has in common with nats-server, its ways in, and mappings, all over again on three event loops.

process.env.CANDELA_BUS_LOOPS = '3';
await import('./bus_parity_core.test.mjs');
await import('./bus_tls.test.mjs');
await import('./bus_websocket.test.mjs');
await import('./bus_mappings.test.mjs');
