import { describeProofs } from '../../support/races/proofs.ts';

describeProofs({ concurrent: 50, rounds: 20 });
