"""Which entity an attribute speaks of, where it is not of the index: those of modules that all IODs share."""

from kahu.dicom.attributes import LEVEL_OF, Level

# Patient, Clinical Trial Subject (PS3.3 C.7.1.1, C.7.1.3)
_PATIENT = """
    ReferencedPatientSequence TypeOfPatientID IssuerOfPatientIDQualifiersSequence
    SourcePatientGroupIdentificationSequence GroupOfPatientsIdentificationSequence PatientBirthTime
    PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar
    QualityControlSubject StrainDescription StrainNomenclature StrainStockSequence
    StrainAdditionalInformation StrainCodeSequence GeneticModificationsSequence OtherPatientNames
    OtherPatientIDsSequence ReferencedPatientPhotoSequence EthnicGroupCodeSequence
    PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    BreedRegistrationSequence ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientComments ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName
    IssuerOfClinicalTrialProtocolID OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID
    ClinicalTrialSiteName IssuerOfClinicalTrialSiteID ClinicalTrialSubjectID
    IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID IssuerOfClinicalTrialSubjectReadingID
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolEthicsCommitteeApprovalNumber
"""

# General Study, Patient Study, Clinical Trial Study (PS3.3 C.7.2.1, C.7.2.2, C.7.2.3)
_STUDY = """
    IssuerOfAccessionNumberSequence ReferringPhysicianIdentificationSequence ConsultingPhysicianName
    ConsultingPhysicianIdentificationSequence ProcedureCodeSequence PhysiciansOfRecord
    PhysiciansOfRecordIdentificationSequence NameOfPhysiciansReadingStudy
    PhysiciansReadingStudyIdentificationSequence AdmittingDiagnosesDescription
    AdmittingDiagnosesCodeSequence ReferencedStudySequence PatientSizeCodeSequence PatientBodyMassIndex
    MeasuredAPDimension MeasuredLateralDimension MedicalAlerts Allergies Occupation SmokingStatus
    AdditionalPatientHistory PregnancyStatus LastMenstrualDate PatientSexNeutered ClinicalTrialTimePointID
    ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent LongitudinalTemporalEventType
    ClinicalTrialTimePointTypeCodeSequence IssuerOfClinicalTrialTimePointID
    ConsentForClinicalTrialUseSequence RequestingService RequestingServiceCodeSequence ReasonForVisit
    ReasonForVisitCodeSequence AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID
    ServiceEpisodeDescription IssuerOfServiceEpisodeIDSequence PatientState
    ReasonForPerformedProcedureCodeSequence
"""

# General Series, Clinical Trial Series, Frame of Reference, General Equipment
# (PS3.3 C.7.3.1, C.7.3.2, C.7.4.1, C.7.5.1)
_SERIES = """
    InstitutionAddress SeriesDescriptionCodeSequence InstitutionalDepartmentName
    InstitutionalDepartmentTypeCodeSequence PerformingPhysicianName
    PerformingPhysicianIdentificationSequence OperatorsName OperatorIdentificationSequence
    ReferencedPerformedProcedureStepSequence RelatedSeriesSequence AnatomicalOrientationType
    ClinicalTrialCoordinatingCenterName ClinicalTrialSeriesID ClinicalTrialSeriesDescription
    IssuerOfClinicalTrialSeriesID DeviceSerialNumber DeviceUID GantryID UDISequence
    ManufacturerDeviceClassUID SoftwareVersions SpatialResolution DateOfLastCalibration
    TimeOfLastCalibration DateOfManufacture DateOfInstallation PositionReferenceIndicator
    SmallestPixelValueInSeries LargestPixelValueInSeries PerformedProcedureStepEndDate
    PerformedProcedureStepEndTime PerformedProcedureStepID PerformedProcedureStepDescription
    PerformedProtocolCodeSequence RequestAttributesSequence CommentsOnThePerformedProcedureStep
    TreatmentSessionUID
"""

_LEVELS: dict[str, Level] = {
    **dict.fromkeys(_PATIENT.split(), "PATIENT"),
    **dict.fromkeys(_STUDY.split(), "STUDY"),
    **dict.fromkeys(_SERIES.split(), "SERIES"),
    **LEVEL_OF,
}


def level_of(name: str) -> Level:
    """The level that an attribute (keyword or hexadecimal tag) belongs to: that of instances, unless the modules
    that all IODs share say otherwise."""
    return _LEVELS.get(name, "IMAGE")


def of_levels(*levels: Level) -> frozenset[str]:
    """The keywords of all attributes that belong to these levels, but for that of instances."""
    return frozenset(keyword for keyword, level in _LEVELS.items() if level in levels)
