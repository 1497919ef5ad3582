import { describeExchanges } from '../../support/races/exchanges.ts';

describeExchanges({ rounds: 20 });
