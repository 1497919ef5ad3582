import { describeDeviceCodes } from '../../support/races/device-codes.ts';

describeDeviceCodes({ concurrent: 50, rounds: 20 });
