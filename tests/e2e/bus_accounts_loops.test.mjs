// Imports, exports and monitoring, all over again on three event loops.

process.env.CANDELA_BUS_LOOPS = '3';
await import('./bus_sharing.test.mjs');
await import('./bus_monitor.test.mjs');
