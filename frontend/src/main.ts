document.body.append("Kahu");
