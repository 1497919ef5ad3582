import { describeCodesAndTokens } from '../../support/races/codes-and-tokens.ts';

describeCodesAndTokens({ concurrent: 50, rounds: 20 });
