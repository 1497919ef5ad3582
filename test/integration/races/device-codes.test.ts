/** The quick version of test/long/races/device-codes.test.ts. */
import { WITH_TWO_PROCESSES } from '../../support/races/deployment.ts';
import { describeDeviceCodes } from '../../support/races/device-codes.ts';

describeDeviceCodes({ concurrent: 50, rounds: 3 }, WITH_TWO_PROCESSES);
