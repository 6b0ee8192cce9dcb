// How OHIF meets Kahu: one data source, the DICOMweb door of the server that this page came from.
// It also sets the two globals for which OHIF's own page has inline scripts, so that none are needed.

window.PUBLIC_URL = "{base}";
window.browserImportFunction = (module) => import(module);

window.config = {
  name: "kahu",
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  customizationService: [{ "ohif.tours": { $set: [] } }],
  showStudyList: true,
  showLoadingIndicator: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showErrorDetails: "production",
  disableConfirmationPrompts: true, // a result that was opened is shown, not asked about
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  investigationalUseDialog: { option: "never" },
  whiteLabeling: {
    createLogoComponentFn: (React) =>
      React.createElement(
        "a",
        {
          href: "/",
          title: "Back to Kahu",
          className: "flex items-center text-lg font-semibold text-white",
          onClick: (event) => event.stopPropagation(), // or the header's own button takes it to the study list
        },
        "Kahu",
      ),
  },
  defaultDataSourceName: "kahu",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "kahu",
      configuration: {
        friendlyName: "Kahu",
        name: "kahu",
        qidoRoot: "/dicomweb",
        wadoRoot: "/dicomweb",
        wadoUriRoot: "/dicomweb",
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        supportsReject: false,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        singlepart: "bulkdata,video,pdf",
        bulkDataURI: { enabled: true },
        dicomUploadEnabled: false,
      },
    },
  ],
  httpErrorHandler: (error) => {
    if (error.status === 401) window.location.assign("/"); // to sign in
    else if (error.status) console.warn(`The server answered ${error.status}.`);
  },
};
