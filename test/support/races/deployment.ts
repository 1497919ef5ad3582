/** What the races are run on: a store, and one process or two. */
import { createShiftedClock, type ShiftedClock } from '../clock.ts';
import { startGatehouse, type StoreKind, type TestServer } from '../gatehouse.ts';
import { startSecondProcess } from '../second-process.ts';

export interface RaceSize {
  /** Requests fired at once. */
  concurrent: number;
  rounds: number;
}

export interface DeploymentKind {
  store: StoreKind;
  processes: 1 | 2;
}

export const DEPLOYMENTS: readonly DeploymentKind[] = [
  { store: 'redis', processes: 1 },
  { store: 'postgres', processes: 1 },
  { store: 'redis', processes: 2 },
  { store: 'postgres', processes: 2 },
];

/** For the quick versions: what holds for two processes holds for one. */
export const WITH_TWO_PROCESSES = DEPLOYMENTS.filter(({ processes }) => processes === 2);

/** Where a request can be sent. */
export type Node = Pick<TestServer, 'issuer'>;

export interface Deployment {
  /** The process that the test runs in. */
  server: TestServer;
  nodes: readonly Node[];
  /** Of the test's own process alone. */
  clock: ShiftedClock;
  stop: () => Promise<void>;
}

export async function startDeployment(
  { store, processes }: DeploymentKind,
  env: Record<string, string> = {},
): Promise<Deployment> {
  const clock = createShiftedClock();
  const server = await startGatehouse({ store, clock, env });
  const second = processes === 2 ? await startSecondProcess(server) : undefined;
  return {
    server,
    clock,
    nodes: second ? [server, second] : [server],
    stop: async () => {
      await second?.stop();
      await server.stop();
    },
  };
}

/** Sends `count` requests at once, to the nodes in turn. */
export function fireAtOnce<T>(
  nodes: readonly Node[],
  count: number,
  send: (node: Node, index: number) => Promise<T>,
): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => send(nodes[index % nodes.length]!, index)));
}

/** A whole answer. */
export interface Answer {
  status: number;
  text: string;
}

export async function answerOf(sent: Promise<Response>): Promise<Answer> {
  const response = await sent;
  return { status: response.status, text: await response.text() };
}

/** Those that give something out; the others have to be refusals by the protocol's book. */
export function successesAmong(answers: readonly Answer[], refusals: readonly string[]): Answer[] {
  const refused = answers.filter(({ status }) => status !== 200);
  for (const { status, text } of refused) {
    const { error } = JSON.parse(text) as { error: string };
    if (status >= 500 || !refusals.includes(error)) throw new Error(`not a refusal: ${status} ${text}`);
  }
  return answers.filter(({ status }) => status === 200);
}
