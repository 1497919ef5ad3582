/** "Stay signed in": the page at the end of a sign-out says what is so. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { signedIn } from '../../support/application.ts';
import { startGatehouse, type TestServer } from '../../support/gatehouse.ts';
import { createPerson, type Person, type Visited } from '../../support/person.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startGatehouse();
});
afterAll(() => server.stop());

async function answered(person: Person, query: string, fields: Record<string, string>): Promise<string> {
  const page = await person.open(`${server.issuer}/oauth/logout${query}`);
  return headingOf(await person.submit(page, fields, '/logout/confirm'));
}

const headingOf = ({ html }: Visited): string => /<h1>([^<]*)</.exec(html)?.[1] ?? '';
const isSignedIn = async (person: Person): Promise<boolean> =>
  !(await person.open(`${server.issuer}/account/sessions`)).html.includes('name="password"');

describe.each([
  ['nobody in particular', {}, ''],
  ['an application', {}, '?client_id='],
  ['an application that is loaded', { frontchannelLogoutUri: 'https://app.example/out' }, '?client_id='],
])('asked by %s', (_who, input, query) => {
  it.each([
    ['stays', {}, 'You are still signed in', true],
    ['goes', { logout: 'yes' }, 'You are signed out', false],
  ])('whoever %s is told so', async (_choice, fields, heading, isStaying) => {
    const { application, person } = await signedIn(server, input);
    const asked = query === '' ? '' : query + application.clientId;
    expect(await answered(person, asked, fields)).toBe(heading);
    expect(await isSignedIn(person)).toBe(isStaying);
  });
});

it('whoever opens the last page without having signed out is not told that they have', async () => {
  const { person } = await signedIn(server);
  const last = `${server.issuer}/oauth/logout/success`;
  expect(headingOf(await person.open(last))).toBe('You are still signed in');
  expect(headingOf(await createPerson(server.issuer).open(last))).toBe('You are signed out');
});
