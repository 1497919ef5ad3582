import { runServer } from '../main.ts';

if (process.argv[2] === 'start') await runServer();
