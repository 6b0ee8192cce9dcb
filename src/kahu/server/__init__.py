"""The doors: DICOMweb, our API, the pages, events. Async here, plain calls below, bridged once in `pools`."""
