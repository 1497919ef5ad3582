/** Jest enters here. The services are started by run.ts; a developer may have set their addresses by hand. */
// oxlint-disable-next-line import/no-default-export -- Jest asks for a default export
export default function globalSetup(): void {
  for (const name of ['GATEHOUSE_TEST_DATABASE_URL', 'GATEHOUSE_TEST_REDIS_URL']) {
    if (!process.env[name]) throw new Error(`${name} is not set: run the tests through \`npm test\``);
  }
}
