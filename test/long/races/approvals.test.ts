import { describeApprovals } from '../../support/races/approvals.ts';

describeApprovals({ concurrent: 50, rounds: 20 });
