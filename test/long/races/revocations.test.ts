import { describeRevocations } from '../../support/races/revocations.ts';

describeRevocations({ rounds: 20 });
