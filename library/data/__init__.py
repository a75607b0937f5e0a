"""Sources, host preprocessing, the input pipeline and augmentation on the device."""
