//! Sessions in images that this machine has: by their interpreters and packages, not by the machine's.

use anyhow::{Context, Result, ensure};
use harness::{Service, ServiceConfig};
use libtest_mimic::Trial;
use sandbox::image::Store;
use serde_json::{Value, json};

use crate::sessions::{Open, outputs};
use crate::{Needs, named};

const IMAGE: &str = "jupyter";

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Image(IMAGE),
        "sessions",
        [
            the_jupyter_image_calculates_and_plots,
            a_kernel_of_the_jupyter_image_plots,
            a_notebook_runs_in_the_jupyter_image,
        ]
    )
}

/// A service that has the machine's images.
async fn service() -> Result<Service> {
    let image_store = Some(Store::of_caller().root().to_owned());
    Service::start_with(ServiceConfig { image_store, ..ServiceConfig::default() }).await
}

/// The picture that a cell showed.
fn picture(reply: &Value) -> Result<&str> {
    let shown = outputs(reply).iter().find(|output| output["output_type"] == "display_data");
    let image = shown.and_then(|output| output["data"]["image/png"].as_str());
    image.filter(|image| image.len() > 2000).with_context(|| format!("no picture: {reply:.2000}"))
}

/// That it is the image's own Python, whose packages the machine has not or has in other versions.
const OWN: &str = "import sys, os, numpy, pandas, scipy, sklearn, matplotlib\n\
                   os.path.dirname(pandas.__file__).startswith('/usr/local/lib/python3')";

const PLOT: &str = "import matplotlib.pyplot as plt\nplt.plot(frame.n, frame.n ** 2)\nplt.show()";

async fn calculates_and_plots(session: &Open) -> Result<()> {
    session.expect(OWN, "True").await?;
    session.expect("x = numpy.arange(4); int(x.sum())", "6").await?;
    let reply = session.cell("frame = pandas.DataFrame({'n': x})\nframe").await?;
    let html = outputs(&reply)[0]["data"]["text/html"].as_str();
    ensure!(html.is_some_and(|html| html.contains("<table")), "{reply:.2000}");
    let reply = session.cell(PLOT).await?;
    let image = picture(&reply)?;
    ensure!(image.starts_with("iVBORw0KGgo") && reply["status"] == "ok", "{reply:.2000}");
    let reply = session.cell("frame.missing").await?;
    ensure!(outputs(&reply)[0]["ename"] == "AttributeError", "{reply:.2000}");
    session.expect("len(frame)", "4").await
}

async fn the_jupyter_image_calculates_and_plots() -> Result<()> {
    let service = service().await?;
    let session = Open::new(service.client(), &json!({"image": IMAGE})).await?;
    calculates_and_plots(&session).await?;
    // A figure that nobody showed is shown at the end of its cell.
    let reply = session.cell("plt.plot([2, 1]); None").await?;
    picture(&reply)?;
    session.restart().await?;
    let reply = session.cell("x").await?;
    ensure!(outputs(&reply)[0]["ename"] == "NameError", "{reply:.2000}");
    session.close().await?;
    service.terminate().await
}

async fn a_kernel_of_the_jupyter_image_plots() -> Result<()> {
    let service = service().await?;
    let request = json!({"image": IMAGE, "kernel": "python3"});
    let session = Open::new(service.client(), &request).await?;
    calculates_and_plots(&session).await?;
    session.close().await?;
    service.terminate().await
}

async fn a_notebook_runs_in_the_jupyter_image() -> Result<()> {
    let service = service().await?;
    let cell = |source: &str| {
        json!({"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
            "execution_count": null})
    };
    let request = json!({
        "image": IMAGE,
        "notebook": {
            "nbformat": 4, "nbformat_minor": 4, "metadata": {},
            "cells": [cell("import numpy, pandas\nframe = pandas.DataFrame({'n': numpy.arange(4)})"),
                cell(PLOT)],
        },
        "checks": [{"code": "print(int((frame.n ** 2).sum()))", "expected": "14"}],
    });
    let reply = service.client().post("/v1/notebooks/run", &request).await?.ok_json()?;
    ensure!(reply["valid"] == true && reply["reward"] == 1.0, "{reply:.2000}");
    let shown = &reply["notebook"]["cells"][1]["outputs"][0]["data"]["image/png"];
    ensure!(shown.as_str().is_some_and(|image| image.len() > 2000), "{reply:.2000}");
    service.terminate().await
}
