import { describeFactors } from '../../support/races/factors.ts';

describeFactors({ concurrent: 50, rounds: 20 });
