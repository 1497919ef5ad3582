import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';

import { startProcess, startService } from './process.ts';
import { HAPROXY, findProgram } from './programs.ts';

export interface Balancer {
  port: number;
  stop: () => Promise<void>;
}

/** HAProxy before servers on loopback, which it asks five times a second whether they are ready. Retries no request. */
export async function startHaproxy({
  directory,
  port: wanted,
  servers,
}: {
  directory: string;
  port: number;
  servers: readonly number[];
}): Promise<Balancer> {
  const program = process.env['GATEHOUSE_TEST_HAPROXY'] ?? findProgram(HAPROXY);
  if (program === undefined) throw new Error('no haproxy found: apt-get install haproxy');
  const configFile = path.join(directory, 'haproxy.cfg');
  const logFile = path.join(directory, 'haproxy.log');
  await writeFile(configFile, configuration(wanted, servers));
  const { port, process: balancer } = await startService({
    name: 'HAProxy',
    logFile,
    atPort: wanted,
    start: () => startProcess(program, ['-db', '-f', configFile], { logFile, cwd: directory }),
    isReady: accepts,
  });
  return { port, stop: () => balancer.stop('SIGTERM') };
}

function configuration(port: number, servers: readonly number[]): string {
  return `
global
  maxconn 500
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 2s
listen gatehouse
  bind 127.0.0.1:${port}
  balance roundrobin
  option httpchk GET /healthz/ready
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
${servers.map((server) => `  server s${server} 127.0.0.1:${server}`).join('\n')}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
