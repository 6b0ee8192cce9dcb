// How OHIF meets Kahu: one data source, the DICOMweb door of the server that this page came from.
// It also sets the two globals for which OHIF's own page has inline scripts, so that none are needed.

window.PUBLIC_URL = "{base}";
window.browserImportFunction = (module) => import(module);

/** For a SEG or RTSTRUCT without the images that it is drawn on: OHIF would stay black, or wait for ever. */
function sayThatImagesAreMissing() {
  if (document.getElementById("images-missing")) return { handled: true };
  const words = document.createElement("p");
  words.id = "images-missing";
  words.setAttribute("role", "alert");
  words.style.cssText =
    "position:fixed;inset:auto 0 40% 0;z-index:50;width:fit-content;max-width:90%;margin:auto;padding:10px 18px;" +
    "border-radius:8px;background:#fff;color:#111";
  words.textContent = "The images that this is drawn on are not in this study: there is nothing to show it on.";
  document.body.append(words);
  setTimeout(() => words.remove(), 15_000);
  return { handled: true };
}

window.config = {
  name: "kahu",
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  customizationService: [
    { "ohif.tours": { $set: [] }, missingReferenceDisplaySetHandler: { $set: sayThatImagesAreMissing } },
  ],
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
