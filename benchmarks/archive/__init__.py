"""Kahu's archive and Orthanc's, side by side on the same data in one run. See `__main__`."""
